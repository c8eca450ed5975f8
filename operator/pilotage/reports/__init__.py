"""Reports for the people who decide: HTML with plots."""
