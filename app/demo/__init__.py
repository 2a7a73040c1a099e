"""The whole road on one machine: a photo, a report, two platforms, a withdrawal, as a timeline."""
