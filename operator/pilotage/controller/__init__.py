"""The shell around the pure core: watch, schedule, gather evidence, persist, act. Nothing is decided here."""
