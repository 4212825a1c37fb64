"""What the two Beam programs share: strict options, files local or remote, and the way a job is run."""
