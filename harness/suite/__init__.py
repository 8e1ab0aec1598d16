"""① DECLARE: what a suite file may say, and reading it with every problem named."""
