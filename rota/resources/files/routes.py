"""The routes of files."""

from rota.http.route import Route

ROUTES: list[Route] = []
