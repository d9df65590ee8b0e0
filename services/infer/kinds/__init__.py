"""One module for each way in which an output says something: its tensor in, findings out."""
