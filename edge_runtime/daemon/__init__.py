"""The gateway daemon: a supervisor that alerts and a sandboxed worker that infers."""
