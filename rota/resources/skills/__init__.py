"""Skills: folders of instructions and files that an agent can call upon, in versions."""
