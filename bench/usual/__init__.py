"""The same endpoint written the usual way, to be compared with: FastAPI, pydantic, SQLAlchemy 2 asyncio, aiosqlite.

It is meant to be what a careful engineer writes first: proper models, one transaction per request, one statement after
another, an indexed schema, and every switch that makes it faster without changing its shape (uvloop, httptools, an open
pool, cached statements, no access log). It is not meant to be slow. It has just the routes that the benchmark needs.
"""
