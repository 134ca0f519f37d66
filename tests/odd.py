"""A network whose forward runs an operation that nobody has a rule for, as text for a file of its own."""

ODD = """
@torch.library.custom_op("mylib::fused", mutates_args=())
def fused(x: torch.Tensor) -> torch.Tensor:
    return x.clone()

@fused.register_fake
def _(x):
    return torch.empty_like(x)

class Odd(Net):
    def forward(self, x):
        return fused(super().forward(x))
"""
"""To stand behind a class `Net`, where torch is imported."""
