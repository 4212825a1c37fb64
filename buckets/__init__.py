"""Google Cloud Storage for all three programs: one client a process, its patience, its errors in one line."""
