"""Where an SRPM becomes RPMs, behind one small interface."""
