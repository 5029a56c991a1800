"""The routes of memory stores."""

from rota.http.route import Route

ROUTES: list[Route] = []
