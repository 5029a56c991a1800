"""ROOMS. One folder for each noun in the URLs, four files each: wire, routes, actions, sql."""
