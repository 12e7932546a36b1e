"""What people paste, and what it means: a number, a line of a log, a dump, a table of exits.

Each module knows one kind of text. `xenapic.glossary.pasted.read.read_text` asks them in turn. Everything
here is pure: no Xen is called, and the text is data that anybody may have written.
"""
