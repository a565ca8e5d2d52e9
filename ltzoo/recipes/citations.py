"""BibTeX of the works that recipes rest on."""

CITATIONS: dict[str, str] = {
    "rangwani2022": """@inproceedings{rangwani2022escaping,
  title     = {Escaping Saddle Points for Effective Generalization on Class-Imbalanced Data},
  author    = {Rangwani, Harsh and Aithal, Sumukh K and Mishra, Mayank and Babu, R. Venkatesh},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2022}
}""",
    "lyu2025": """@inproceedings{lyu2025ssesam,
  title     = {{SSE-SAM}: Balancing Head and Tail Classes Gradually through Stage-Wise {SAM}},
  author    = {Lyu, Xingyu and Xu, Qianqian and Yang, Zhiyong and Lyu, Shaojie and Huang, Qingming},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2025}
}""",
    "foret2021": """@inproceedings{foret2021sharpness,
  title     = {Sharpness-Aware Minimization for Efficiently Improving Generalization},
  author    = {Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam},
  booktitle = {International Conference on Learning Representations},
  year      = {2021}
}""",
    "zhou2023": """@inproceedings{zhou2023imbsam,
  title     = {{ImbSAM}: A Closer Look at Sharpness-Aware Minimization in Class-Imbalanced Recognition},
  author    = {Zhou, Yixuan and Qu, Yi and Xu, Xing and Shen, Hengtao},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2023}
}""",
    "cao2019": """@inproceedings{cao2019learning,
  title     = {Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss},
  author    = {Cao, Kaidi and Wei, Colin and Gaidon, Adrien and Arechiga, Nikos and Ma, Tengyu},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019}
}""",
    "menon2021": """@inproceedings{menon2021longtail,
  title     = {Long-tail learning via logit adjustment},
  author    = {Menon, Aditya Krishna and Jayasumana, Sadeep and Rawat, Ankit Singh and Jain, Himanshu and
               Veit, Andreas and Kumar, Sanjiv},
  booktitle = {International Conference on Learning Representations},
  year      = {2021}
}""",
    "kini2021": """@inproceedings{kini2021labelimbalanced,
  title     = {Label-Imbalanced and Group-Sensitive Classification under Overparameterization},
  author    = {Kini, Ganesh Ramachandra and Paraskevas, Orestis and Oymak, Samet and Thrampoulidis, Christos},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2021}
}""",
}

METHOD_CITATIONS: dict[str, str] = {
    "ldam": "cao2019",
    "drw": "cao2019",
    "la": "menon2021",
    "vs": "kini2021",
    "sam": "foret2021",
    "imbsam": "zhou2023",
    "ssesam": "lyu2025",
}
"""The word of a loss, rule or perturbation to the work that defines it; CE and SGD need none."""
