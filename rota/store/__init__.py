"""CELLAR. One SQL layer over two databases: transactions as plain functions, named queries, migrations. Knows no resource."""
