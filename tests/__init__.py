"""The proof that rota does what it says. The folders mirror those of the package."""
