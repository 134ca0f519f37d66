"""Operations that are zero by definition: they compute nothing, whatever they move.

Views change how elements are addressed; copies move them; allocations make room for constants; random
numbers, assertions and questions about a tensor are no part of a network's arithmetic.
"""

from __future__ import annotations

_VIEWS = """
    alias as_strided as_strided_ atleast_1d atleast_2d atleast_3d broadcast_to chunk contiguous detach
    detach_ diagonal expand expand_as flatten lift lift_fresh mT mH movedim narrow numpy_T permute pin_memory
    ravel real imag reshape select slice split split_with_sizes squeeze squeeze_ swapaxes t t_ transpose
    transpose_ unbind unflatten unfold unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_
    view view_as view_as_complex view_as_real _reshape_alias _unsafe_view _conj _neg_view
    resolve_conj resolve_neg set_ resize_ _resize_output_ swapdims positive conj adjoint matrix_H is_conj
    _autocast_to_full_precision _autocast_to_reduced_precision
"""
_COPIES = """
    _chunk_cat _copy_from _foreach_copy_ _nested_tensor_from_mask _nested_from_padded _pack_padded_sequence
    _pad_circular _pad_packed_sequence _to_copy _to_dense _unsafe_index _unsafe_index_put
    _unsafe_masked_index block_diag cat channel_shuffle clone column_stack complex concat constant_pad_nd
    copy copy_ diag diag_embed dstack fill fill_ flip fliplr flipud gather hstack im2col index index_copy
    index_copy_ index_fill index_fill_ index_put index_put_ index_select masked_fill masked_fill_
    masked_scatter masked_scatter_ masked_select meshgrid native_channel_shuffle nonzero one_hot pad
    pad_sequence pixel_shuffle pixel_unshuffle put_ reflection_pad1d reflection_pad1d_backward
    reflection_pad2d reflection_pad2d_backward reflection_pad3d reflection_pad3d_backward repeat
    repeat_interleave replication_pad1d replication_pad1d_backward replication_pad2d
    replication_pad2d_backward replication_pad3d replication_pad3d_backward roll rot90 scatter scatter_
    select_backward select_scatter slice_backward slice_scatter stack take take_along_dim to tril tril_ triu
    triu_ type_as vstack where diagonal_scatter diagonal_backward
    max_unpool2d max_unpool3d masked_scatter_backward as_strided_scatter lu_unpack
    unfold_copy view_copy expand_copy permute_copy split_copy unbind_copy zero
    zero_
    affine_grid_generator vander
    _coalesced_ _sparse_coo_tensor_unsafe _sparse_coo_tensor_with_dims
    _sparse_coo_tensor_with_dims_and_tensors _sparse_compressed_tensor_unsafe _sparse_mask_projection
    _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr sparse_coo_tensor
    sparse_compressed_tensor sparse_mask sparse_resize_ sparse_resize_and_clear_ to_sparse
"""
_MAKERS = """
    arange empty empty_like empty_permuted empty_quantized empty_strided eye full full_like hann_window
    hamming_window blackman_window bartlett_window kaiser_window linspace logspace new_empty
    new_empty_strided new_full new_ones new_zeros ones ones_like range scalar_tensor tril_indices
    triu_indices zeros zeros_like fft_fftfreq fft_rfftfreq _efficientzerotensor
"""
_RANDOM = """
    bernoulli bernoulli_ exponential_ geometric_ log_normal_ multinomial normal normal_ poisson rand
    rand_like randint randint_like randn randn_like random random_ randperm uniform uniform_ cauchy_
"""
_QUESTIONS = """
    _linalg_check_errors _indices _nnz _values ccol_indices col_indices crow_indices indices is_coalesced
    row_indices values
    _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _has_same_storage_numel
    _local_scalar_dense _nested_get_offsets allclose dense_dim dim equal is_nonzero is_same_size item numel
    size sparse_dim stride storage_offset sym_numel sym_size sym_storage_offset sym_stride
    sym_constrain_range sym_constrain_range_for_size is_pinned record_stream
"""
_QUANTISED = """
    dequantize quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic q_scale q_zero_point
    int_repr
"""

ZERO = frozenset(
    f"aten.{op}"
    for group in (_VIEWS, _COPIES, _MAKERS, _RANDOM, _QUESTIONS, _QUANTISED)
    for op in group.split()
) | {"profiler._record_function_enter_new", "profiler._record_function_exit", "quantized.cat"}
"""Names of all operations that are zero by definition."""

VIEWS = frozenset(f"aten.{op}" for group in (_VIEWS, _QUESTIONS) for op in group.split())
"""Those that do not even move an element."""
