"""What will run and what it may cost: values, and arithmetic on them."""
