"""Where runs run: the host-side task, the payload that it starts, and the executors that place tasks."""
