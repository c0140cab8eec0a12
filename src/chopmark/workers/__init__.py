"""Work that runs by itself: processes and threads that take jobs from the catalog's queue and do them."""
