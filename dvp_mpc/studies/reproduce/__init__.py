"""The paper's figures, each settled with numbers: see figure.py for what one is, registry.py for the list of them."""
