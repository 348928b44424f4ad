"""What the commands do; `harness.cli` names them and their options."""
