"""One run, from the manifest to the last marker: check, plan, drive the workers, retry what died."""
