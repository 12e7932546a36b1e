"""The explorer: one page in which every choice of host and guest shows what each access does.

Python writes the answers, each distinct table once (`data`); the page only looks them up (`page`).
"""
