"""Made-up but realistic studies, generated with numpy and scipy alone."""
