"""A local folder or an S3 prefix behind one interface: durable writes, create-once, listing."""
