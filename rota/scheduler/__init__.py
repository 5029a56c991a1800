"""ENGINE of time: what is done because the clock says so."""
