"""What runs inside boxes. Standard library only, Python 3.8 and newer, and nothing of the server but this folder."""
