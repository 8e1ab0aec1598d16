"""⑧ SHOW: a run's record becomes a page model, and the page model becomes HTML, Markdown, JUnit and text."""
