"""Inside a worker: manifest rows to requests, renderings to result rows, shard after shard."""
