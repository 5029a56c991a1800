"""The routes of vaults."""

from rota.http.route import Route

ROUTES: list[Route] = []
