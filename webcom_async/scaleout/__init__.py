"""Campaigns of many workers: plan → shards → run a shard → report, whatever engine hands the shards out."""
