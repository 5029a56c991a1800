"""The routes of skills."""

from rota.http.route import Route

ROUTES: list[Route] = []
