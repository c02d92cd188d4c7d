"""The watch service: from settled bounces to finished jobs."""
