# Short forms for those who have make; dev.py does the work.
.PHONY: demo test check bench docs
demo test check bench docs:
	@python3 dev.py $@
