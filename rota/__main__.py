"""``python -m rota``: the command line without an installed script."""

from rota.cli.root import main

if __name__ == "__main__":
    main()
