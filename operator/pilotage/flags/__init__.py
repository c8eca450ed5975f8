"""The flag service: streams flag documents to applications by `flagd.sync.v1`, as a process of its own."""
