"""STAIRS for callers. Routing, admission, decoding, encoding, errors and OpenAPI, all from one route table. Knows no resource."""
