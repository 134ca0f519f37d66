"""Collectives: what processes send each other, named with its bytes. It is no arithmetic of the model."""

from __future__ import annotations

from cnnstat.record import OpCall
from cnnstat.report import Work
from cnnstat.rules.base import counts

_SYNCHRONOUS = """
    _allgather_base_ _reduce_scatter_base_ allgather_ allgather_coalesced_ allgather_into_tensor_coalesced_
    allreduce_ allreduce_coalesced_ alltoall_ alltoall_base_ barrier broadcast_ check_for_nan gather_
    monitored_barrier_ recv_ recv_any_source_ reduce_ reduce_scatter_ reduce_scatter_tensor_coalesced_
    scatter_ send
"""
_FUNCTIONAL = """
    all_gather_into_tensor all_gather_into_tensor_coalesced all_gather_into_tensor_out all_reduce all_reduce_
    all_reduce_coalesced all_reduce_coalesced_ all_to_all_single batch_p2p_ops broadcast broadcast_ irecv
    isend reduce_scatter_tensor reduce_scatter_tensor_coalesced reduce_scatter_tensor_out wait_tensor
    _wrap_tensor_autograd
"""
_AUTOGRAD = "all_gather_into_tensor all_to_all_single reduce_scatter_tensor"


@counts(
    *(f"c10d.{op}" for op in _SYNCHRONOUS.split()),
    *(f"_c10d_functional.{op}" for op in _FUNCTIONAL.split()),
    *(f"_c10d_functional_autograd.{op}" for op in _AUTOGRAD.split()),
    family="communication",
    formula="no arithmetic; its bytes are those of the tensors sent and received",
    source="what is summed on the way depends on the number of processes and their wires, not on the model",
)
def communication(call: OpCall) -> Work:
    """What one process hands over and takes in, counted as bytes moved."""
    return Work()
