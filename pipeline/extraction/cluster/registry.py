"""The engines that spread a whole extraction over a cluster, by name.

Each is also in ENGINES (pipeline/engines/registry.py), under what its workers decode with. To add one, write a Cluster
and add one line to both.
"""

from embedonce.pipeline.engines.registry import RAY
from embedonce.pipeline.extraction.cluster.cluster import Cluster
from embedonce.pipeline.extraction.cluster.ray_cluster import RayCluster

CLUSTERS: dict[str, type[Cluster]] = {
    RAY: RayCluster,
}
