"""The data set job: labelled photographs in, a TFRecord data set out. The commands are in beam_jobs.main."""
