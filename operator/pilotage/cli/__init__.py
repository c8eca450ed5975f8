"""Command line: `pilotage run`, `pilotage flags`, `pilotage report`."""
