"""What is edited and trained; knows nothing of episodes or Gymnasium."""
