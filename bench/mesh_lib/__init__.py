"""What `bench/mesh` is made of: processes, loads, contenders, experiments, and the report."""
