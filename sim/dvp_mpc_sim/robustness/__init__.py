"""The robustness study: what strikes the arm and how hard, who steers it, what came of it, and the report."""
