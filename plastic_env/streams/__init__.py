"""What learners learn from: samples, how they are shown, and streams of tasks."""
