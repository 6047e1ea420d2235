"""Reading and writing files of any kind, without knowledge of their contents."""
