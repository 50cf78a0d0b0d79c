"""`octavo train`: the encoders that ship, made again from MiniLM and text that any machine has."""
