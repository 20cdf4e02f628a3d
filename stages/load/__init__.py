"""The load that a job puts on servers: measured for its report, and kept within limits."""
