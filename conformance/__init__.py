"""The runtime-tools validation programs of the Open Container Initiative, as a judge of pyoci: see README.md."""
