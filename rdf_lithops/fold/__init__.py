"""Partials and how they become one result: their order, their merge, the shelf where large ones lie. On both sides."""
